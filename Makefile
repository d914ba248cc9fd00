# Two commands are all a new user needs: `make run` and `make test`. Each installs what is missing first.
# PYTHON=/path/to/python3.12 chooses the Python; the first one that is new enough is taken otherwise.

PY := .venv/bin/python
PYTHON ?=
SAMPLES := smollm2-135m wiki
ALONE := sample or browser or jobs
FAST := not ($(ALONE) or slow or long)
# CHECKED=1 leaves out the tests that `make check` has run: continuous integration runs both, one after the other.
REST := not ($(ALONE) or long)$(if $(CHECKED), and slow)

bootstrap = @found=; for p in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$p; break; fi; done; \
	if [ -z "$$found" ]; then \
	echo "Retort needs Python 3.11 or newer, and none was found. Install it (on Debian and Ubuntu, as root: apt-get install python3 python3-venv), then run the same command again." >&2; exit 1; fi; \
	"$$found" scripts/bootstrap.py

.PHONY: help run test check soak
help:
	@echo "make run    install what is missing, fetch the sample model, open the dashboard"
	@echo "make test   install what is missing and run the tests, the browser's included"
	@echo "make check  lint, format, types and the fast tests"
	@echo "make soak   the long tests: the whole sample study, students on a cluster, 200 kills, deliberate faults in the code, thousands of hostile files, an hour of page visits"

run:
	$(bootstrap)
	@$(PY) -m core fetch $(SAMPLES)
	@$(PY) -m streamlit run app.py

test:
	$(bootstrap) test chromium
	-@$(PY) -m core fetch $(SAMPLES)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "$(REST)"
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "($(ALONE)) and not long"

check:
	$(bootstrap) test
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 -m "$(FAST)"

soak:
	$(bootstrap) test chromium
	-@$(PY) -m core fetch $(SAMPLES)
	$(PY) -m pytest -m "long"
	$(PY) -m scripts.soak --kills 200
	$(PY) -m scripts.faults
	RETORT_FUZZ_EXAMPLES=5000 $(PY) -m pytest tests/security/test_fuzz.py
	$(PY) -m benchmarks.pages --minutes 60
