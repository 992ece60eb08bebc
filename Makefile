# The pipeline's targets; `make` alone lists them. -j, -n and -k mean what they always mean.

PIPELINE ?= pipelines/demo.toml
RUN      ?= data/runs/$(basename $(notdir $(PIPELINE)))
BIN      ?= $(or $(CARGO_TARGET_DIR),target)/debug
CARGO    ?= cargo
PYTHON   ?= $(CURDIR)/data/toolchain/venv/bin/python

PLAN       ?= $(BIN)/plan
DUPGEN     ?= $(BIN)/dupgen
TUNER      ?= $(BIN)/tuner
EXTRACTOR  ?= $(BIN)/extractor
PLAGIARISM ?= $(BIN)/plagiarism
REPORT     ?= $(BIN)/report
THREADS    ?=
SET        ?=
export DUPGEN TUNER EXTRACTOR PLAGIARISM REPORT THREADS PYTHON

stages  := dupgen tune extract plagiarism report
planned  = $(PLAN) --config $(PIPELINE) --out $(RUN) $(foreach value,$(SET),--set '$(value)')

.PHONY: help setup build demo run estimate $(stages) test lint bench bench-plagiarism clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make demo                        set up, build, run the demo (minutes on two cores) and say where its report is'
	@echo 'make test                        set up, build, run every test'
	@echo 'make run PIPELINE=FILE.toml      plan a pipeline and run all of it; results in data/runs/<name>, or RUN=FOLDER'
	@echo 'make estimate PIPELINE=FILE.toml its cells, with tokens, time, memory and disk, before anything starts'
	@echo 'make dupgen|tune|extract|plagiarism|report    a pipeline up to that stage'
	@echo 'make setup|build|lint|bench      what the others do first; the checks of style; the benchmarks'
	@echo 'make clean|distclean             remove all results; also the builds and what set-up fetched'
	@echo
	@echo 'SET="tuning.epochs=3 seeds=[1]"  override values of the pipeline file'
	@echo 'THREADS=N                        threads of each stage; with make -jM, choose N so that N times M is your cores'
	@echo 'EXTRACTOR="python3 mine.py"      another program for a stage: DUPGEN TUNER EXTRACTOR PLAGIARISM REPORT.'
	@echo '                                 With RUN=FOLDER its results stay apart: what is finished is not made again.'

setup:
	@scripts/setup.sh

build: setup
	@$(CARGO) build --workspace --locked

demo: PIPELINE = pipelines/demo.toml
run demo: stage := all
$(stages): stage = $@
# Planning also happens under `make -n`, since the rules to show come from there. It writes configuration only.
run demo $(stages): build
	+@if ! command -v $(firstword $(PLAN)) >/dev/null; then echo 'make -n shows the rules of the cells once make build is done'; \
	else $(planned) && $(MAKE) --no-print-directory -f $(RUN)/cells.mk $(stage); fi
	@if [ $(stage) = all ] && [ -e $(RUN)/report/report.html ]; then echo 'report      $(RUN)/report/report.html'; fi

estimate: build
	@$(planned) --estimate

test: build
	@$(CARGO) test --workspace --locked
	@set -e; for script in $(wildcard tests/*.sh); do echo "$$script"; bash "$$script"; done
	@set -e; for script in $(wildcard tests/test_*.py); do echo "$$script"; "$(PYTHON)" "$$script"; done

lint:
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: bench-plagiarism

# The peers live in data/bench, in an environment of their own.
bench-plagiarism: build
	@scripts/bench/setup.sh
	@PLAGIARISM=$(PLAGIARISM) "$(PYTHON)" scripts/bench/plagiarism.py

clean:
	rm -rf data/runs

distclean: clean
	rm -rf target data/toolchain
