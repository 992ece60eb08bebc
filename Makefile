# The pipeline's targets; `make` alone lists them. -j, -n and -k mean what they always mean.

PIPELINE ?= pipelines/demo.toml
BIN      ?= $(or $(CARGO_TARGET_DIR),target)/debug
CARGO    ?= cargo
PYTHON   ?= $(CURDIR)/data/toolchain/venv/bin/python

PLAN       ?= $(BIN)/plan
DUPGEN     ?= $(BIN)/dupgen
TUNER      ?= $(BIN)/tuner
EXTRACTOR  ?= $(BIN)/extractor
PLAGIARISM ?= $(BIN)/plagiarism
REPORT     ?= $(BIN)/report
CHECK      ?= $(BIN)/check
THREADS    ?=
LOG_FORMAT ?=
CUDA       ?=
SET        ?=
export CUDA PIPELINE RUN PLAN DUPGEN TUNER EXTRACTOR PLAGIARISM REPORT CHECK THREADS LOG_FORMAT SET PYTHON CHECKPOINT CORPUS BASE HELD_OUT OTHER CANARIES MODEL

stages := dupgen tune extract plagiarism report

# A misspelt variable (HELDOUT=, pipeline=) would silently do nothing.
of_runs  := PIPELINE RUN SET THREADS LOG_FORMAT PLAN DUPGEN TUNER EXTRACTOR PLAGIARISM REPORT CHECK BIN CARGO PYTHON
of_audit := CHECKPOINT CORPUS BASE HELD_OUT OTHER CANARIES
of_check := CORPUS MODEL HELD_OUT
of_device := DEVICE OUT CHECKS BUDGET_S LARGE
of_fuzz  := SECONDS_EACH
others   := CUDA LIBTORCH% CARGO% RUST% HF_% OMP_% PIP_% SHELL MAKE% V -%
given    := $(strip $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
known    := $(of_runs) $(if $(filter audit,$(MAKECMDGOALS)),$(of_audit)) $(if $(filter check,$(MAKECMDGOALS)),$(of_check)) $(if $(filter device-check,$(MAKECMDGOALS)),$(of_device)) $(if $(filter fuzz,$(MAKECMDGOALS)),$(of_fuzz)) $(others)
unknown  := $(filter-out $(known),$(given))
ifneq ($(unknown),)
$(error unknown variable $(foreach name,$(unknown),$(name)=): make $(or $(firstword $(MAKECMDGOALS)),help) reads $(filter-out $(others),$(known)))
endif

.PHONY: help setup build demo doctor run study audit check-audit check check-corpus estimate status $(stages) test parity device-check lint bench bench-plagiarism bench-extractor bench-tuner bench-sharing fuzz clean distclean
.DEFAULT_GOAL := help

help:
	@echo 'make demo                        set up, build, run the demo (minutes on two cores) and print where its report is'
	@echo 'make doctor                      what this machine has, and whether known leaks, and only those, are found on it (a minute)'
	@echo 'make test                        set up, build, run every test'
	@echo 'make parity                      differences from transformers and peft, for every family, kind of adapter and chat template'
	@echo 'make device-check                results of a GPU against the processor, and its speed against transformers (see scripts/device_check.sh)'
	@echo 'make run PIPELINE=FILE.toml      plan a pipeline and run all of it; results in data/runs/<name>, or RUN=FOLDER'
	@echo 'make audit CHECKPOINT=FOLDER CORPUS=FILE [BASE=FOLDER] [HELD_OUT=FILE] [OTHER=FILE] [CANARIES=FILE]    (make audit alone explains them)'
	@echo '                                 what an already tuned model reproduces of the text it was tuned on'
	@echo 'make check CORPUS=FILE [MODEL=FOLDER] [HELD_OUT=FILE]    (make check alone explains them)'
	@echo '                                 check a text before tuning: copies, personal details, truncation, the documents most at risk'
	@echo 'make study                       run the study of RESULTS.md (hours; pipelines/study.toml says what it needs)'
	@echo 'make estimate PIPELINE=FILE.toml its cells, with tokens, time, memory and disk, before anything starts'
	@echo 'make status PIPELINE=FILE.toml   progress of its run, or of the one in RUN=FOLDER: done, running, failed, to do, with times and disk'
	@echo 'make slurm PIPELINE=FILE.toml    plan it as Slurm jobs: scripts in the run folder, submitted by bash RUN/slurm/submit.sh'
	@echo 'make dupgen|tune|extract|plagiarism|report    a pipeline up to that stage'
	@echo 'make -jN -k run PIPELINE=FILE.toml    N jobs at once, fewer if memory is short; continues past failures and lists them'
	@echo 'make setup|build|lint|bench      set up; build; check style and dependencies; run the benchmarks'
	@echo 'make fuzz                        fuzz every reader of files that other programs write (SECONDS_EACH=60; needs cargo-fuzz)'
	@echo 'make setup CUDA=1                LibTorch for a GPU too (3 GB); device = "auto" then means the GPU where there is one'
	@echo 'make clean|distclean             remove all results; also the builds and what setup fetched'
	@echo
	@echo 'SET="tuning.epochs=3 seeds=[1]"  override values of the pipeline file'
	@echo 'THREADS=N                        threads of each stage; by default all processors, divided by M with make -jM'
	@echo 'LOG_FORMAT=json                  the log of each stage as a JSON object on a line'
	@echo 'EXTRACTOR="python3 mine.py"      another program for a stage: DUPGEN TUNER EXTRACTOR PLAGIARISM REPORT.'
	@echo '                                 Give it a RUN=FOLDER of its own: finished stages are not run again.'

# Missing variables of an audit or a check are reported before anything is fetched.
setup: $(if $(filter audit,$(MAKECMDGOALS)),check-audit) $(if $(filter check,$(MAKECMDGOALS)),check-corpus)
	@scripts/setup.sh

check-audit:
	+@scripts/check_audit.sh

check-corpus:
	+@scripts/check_corpus.sh

build: setup
	@$(CARGO) build --workspace --locked

demo: PIPELINE = pipelines/demo.toml
study: PIPELINE = pipelines/study.toml
audit: PIPELINE = pipelines/audit.toml
audit: export AUDIT = 1
check: PIPELINE = pipelines/check.toml
check: export LOOK = 1
run demo audit check study: stage = all
estimate $(stages): stage = $@
# Planning also happens under `make -n`, since the rules to show come from there. It writes configuration only.
run demo audit check estimate $(stages): build
	+@MAKE='$(MAKE)' scripts/run.sh $(stage)

study: build
	+@MAKE='$(MAKE)' scripts/run.sh all
	@"$(PYTHON)" scripts/study collect "$(or $(RUN),data/runs/study)"
	@"$(PYTHON)" scripts/study results

# The run may be in progress, so nothing is built if the program plan exists.
status: $(if $(filter status,$(MAKECMDGOALS)),$(if $(shell command -v $(firstword $(PLAN)) 2>/dev/null),,build))
	@scripts/run.sh status

.PHONY: slurm
slurm: build
	+@scripts/run.sh slurm

doctor: build
	@"$(PYTHON)" scripts/doctor.py

test: build
	@$(CARGO) test --workspace --locked
	@set -e; for script in $(wildcard tests/*.sh); do echo "$$script"; bash "$$script"; done
	@set -e; for script in $(wildcard tests/test_*.py); do echo "$$script"; "$(PYTHON)" "$$script"; done

parity: setup
	@CARGO='$(CARGO)' "$(PYTHON)" scripts/parity.py

# The programs may have been built on another machine, so nothing is built here; the Python of setup has no transformers.
device-check:
	@BIN="$(abspath $(BIN))" PYTHON="$(if $(filter file,$(origin PYTHON)),python3,$(PYTHON))" scripts/device_check.sh

lint:
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@CARGO='$(CARGO)' "$(PYTHON)" scripts/check_dependencies.py
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --offline check bans licenses sources; fi

fuzz:
	@scripts/fuzz.sh

bench: bench-tuner bench-extractor bench-plagiarism bench-sharing

# The peers are installed in data/bench, or given by the variables BENCH_… (scripts/bench/setup.sh lists them).
bench-plagiarism: build
	@scripts/bench/setup.sh
	@PLAGIARISM=$(PLAGIARISM) "$(PYTHON)" scripts/bench/plagiarism.py

bench-extractor: build
	@scripts/bench/setup.sh python
	@"$(PYTHON)" scripts/bench/extractor.py

bench-sharing: build
	@"$(PYTHON)" scripts/bench/sharing.py

bench-tuner: build
	@scripts/bench/setup.sh python
	@TUNER=$(TUNER) "$(PYTHON)" scripts/bench/tuner.py

clean:
	rm -rf data/runs

distclean: clean
	rm -rf target data/toolchain
