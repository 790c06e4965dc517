# Sourced by scripts that must work before there is a .venv: sets $python to a Python that is new enough.
trap 'exit 143' TERM # which a shell obeys when the program that it waits for has ended: nothing is left behind

is_new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

choose_python() {
    for python; do
        is_new_enough "$python" && return
    done
    return 1
}

if [ -n "${PYTHON:-}" ]; then
    choose_python "$PYTHON"
else
    choose_python python3.13 python3.12 python3.11 python3
fi || {
    found=$("${PYTHON:-python3}" --version 2>&1) || found="no python3"
    echo "Plainstack needs Python 3.11 or newer; found: $found. Set PYTHON to a newer one." >&2
    exit 1
}
