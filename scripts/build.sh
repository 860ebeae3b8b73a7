#!/usr/bin/env bash
# Makes the release bundle of every function in target/lambda/<name>/bootstrap, and prints a size table.
#
# cargo-lambda cross-links through Zig, both from PyPI. Where the arm64 standard library cannot be
# added to the Rust toolchain, build for x86-64: make build ARCHITECTURE=x86_64
set -euo pipefail
cd "$(dirname "$0")/.."

architecture=${1:-arm64}
case $architecture in
arm64) triple=aarch64-unknown-linux-gnu ;;
x86_64) triple=x86_64-unknown-linux-gnu ;;
*) echo "ARCHITECTURE must be arm64 or x86_64" >&2 && exit 1 ;;
esac

if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$triple"; then
    if ! rustup target add "$triple"; then
        echo "the standard library for $triple cannot be added; try make build ARCHITECTURE=x86_64" >&2
        exit 1
    fi
fi

# The linker writes what it was told to do there; a relative cache would depend on the crate.
export ZIG_GLOBAL_CACHE_DIR="$PWD/target/zig-cache"
PATH="$PWD/.tools/venv/bin:$PATH"

packages=()
for manifest in functions/*/Cargo.toml; do
    packages+=(--package "rollcall-functions-$(basename "$(dirname "$manifest")")")
done
# The AWS Lambda runtime provided.al2023 has glibc 2.34. Our own release profile stands as it is.
cargo lambda build --release --bins --disable-optimizations --target "$triple.2.34" "${packages[@]}"

printf '\n%-22s %12s %12s\n' function 'program KB' 'zipped KB'
for program in target/lambda/*/bootstrap; do
    name=$(basename "$(dirname "$program")")
    zipped=$(gzip -9 --stdout "$program" | wc -c)
    printf '%-22s %12d %12d\n' "$name" $(($(wc -c <"$program") / 1024)) $((zipped / 1024))
done
