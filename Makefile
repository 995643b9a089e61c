# What the project can do. `make` prints this list; CI runs `test` and `interop`.

CARGO ?= cargo
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
# Warnings are errors here and nowhere else, so that an unfinished change still builds.
LINT := -- -D warnings

.PHONY: help demo build test lint check doc bench interop prove fuzz static golden clean

help: ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## build the tool and pull a real image from an embedded registry, without the internet
	$(CARGO) test --locked --quiet --test demo

build: ## build target/release/windlass
	$(CARGO) build --locked --release --bin windlass

test: lint check doc ## the whole suite: format, lints, tests, docs; installs nothing

check: ## the tests alone
	$(CARGO) test --locked --quiet

lint: ## format and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets --test demo --test interop --test prove --test fuzz --bench windlass $(LINT)

doc: ## the documentation of the crate, private items included
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet

bench: static ## measure dist/windlass against curl and skopeo in one run; installs them; minutes
	tests/interop/install
	$(CARGO) bench --locked --bench windlass -- --windlass $(CURDIR)/dist/windlass

interop: static ## real registries and clients; installs them (Debian packages, root or sudo)
	tests/interop/install
	$(CARGO) test --locked --test interop

prove: ## kill, starve and crowd the store, and print what was found; installs strace; minutes
	tests/interop/install
	$(CARGO) test --locked --release --test prove

fuzz: ## read inputs that are nearly right for a minute, or WINDLASS_FUZZ_SECONDS; deterministic
	$(CARGO) test --locked --release --test fuzz

static: ## build dist/windlass: one file that needs nothing else
	RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
		$(CARGO) build --locked --profile static --bin windlass --target $(HOST)
	mkdir -p dist
	cp target/$(HOST)/static/windlass dist/windlass

golden: ## rewrite the help texts in fixtures/help, when a change is meant
	WINDLASS_GOLDEN=rewrite $(CARGO) test --locked --quiet help_texts

clean: ## remove what was built
	$(CARGO) clean
	rm -rf dist
