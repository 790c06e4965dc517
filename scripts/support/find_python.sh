# Sourced by scripts that must work before there is a .venv: sets $python to a Python that is new enough.
is_new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
    if is_new_enough "$candidate"; then
        python=$candidate
        break
    fi
done

if [ -z "$python" ]; then
    found=$("${PYTHON:-python3}" --version 2>&1) || found="no python3"
    echo "Plainstack needs Python 3.11 or newer; found: $found. Set PYTHON to a newer one." >&2
    exit 1
fi
