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

# What `make audit` is told about. A path is as seen from here; what is no path is a name of the hub.
audited   = $(if $(wildcard $(1)),$(abspath $(1)),$(1))
audit_set = checkpoint.0.path=$(call audited,$(CHECKPOINT)) corpus.files=$(abspath $(CORPUS)) \
            $(if $(BASE),checkpoint.0.base=$(call audited,$(BASE))) \
            $(if $(HELD_OUT),corpus.held_out_files=$(abspath $(HELD_OUT)))

.PHONY: help setup build demo run audit told estimate $(stages) test lint bench bench-plagiarism bench-extractor bench-tuner clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make demo                        set up, build, run the demo (minutes on two cores) and say where its report is'
	@echo 'make test                        set up, build, run every test'
	@echo 'make run PIPELINE=FILE.toml      plan a pipeline and run all of it; results in data/runs/<name>, or RUN=FOLDER'
	@echo 'make audit CHECKPOINT=FOLDER CORPUS=FILE [BASE=FOLDER] [HELD_OUT=FILE]'
	@echo '                                 what a model that is tuned already gives back of the text it was tuned on'
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
audit: PIPELINE = pipelines/audit.toml
audit: RUN = data/runs/audit-$(subst /,-,$(patsubst /%,%,$(patsubst ./%,%,$(patsubst %/,%,$(CHECKPOINT)))))
audit: override SET := $(audit_set) $(SET)
audit: told
run demo audit: stage := all
$(stages): stage = $@
# Planning also happens under `make -n`, since the rules to show come from there. It writes configuration only.
run demo audit $(stages): build
	+@if ! command -v $(firstword $(PLAN)) >/dev/null; then echo 'make -n shows the rules of the cells once make build is done'; \
	else $(planned) && $(MAKE) --no-print-directory -f $(RUN)/cells.mk $(stage); fi
	@if [ $(stage) = all ] && [ -e $(RUN)/report/report.html ]; then echo 'report      $(RUN)/report/report.html'; fi

# What an audit cannot do without.
told:
	@test -n '$(CHECKPOINT)' -a -n '$(CORPUS)' || { echo 'make audit needs CHECKPOINT=FOLDER (a model or a peft adapter) and CORPUS=FILE (the text it was tuned on)' >&2; exit 2; }

estimate: build
	@$(planned) --estimate

test: build
	@$(CARGO) test --workspace --locked
	@set -e; for script in $(wildcard tests/*.sh); do echo "$$script"; bash "$$script"; done
	@set -e; for script in $(wildcard tests/test_*.py); do echo "$$script"; "$(PYTHON)" "$$script"; done

lint:
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

bench: bench-tuner bench-extractor bench-plagiarism

# The peers live in data/bench, in an environment of their own.
bench-plagiarism: build
	@scripts/bench/setup.sh
	@PLAGIARISM=$(PLAGIARISM) "$(PYTHON)" scripts/bench/plagiarism.py

bench-extractor: build
	@scripts/bench/setup.sh
	@"$(PYTHON)" scripts/bench/extractor.py

bench-tuner: build
	@scripts/bench/setup.sh
	@TUNER=$(TUNER) "$(PYTHON)" scripts/bench/tuner.py

clean:
	rm -rf data/runs

distclean: clean
	rm -rf target data/toolchain
