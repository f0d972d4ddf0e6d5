"""Make the environment: `python3 scripts/setup_env.py .venv EXTRA…` (stdlib only; `make` calls it).

Uses uv, which is several times quicker than pip: the one on PATH, else one installed into the environment; where that
fails, pip. Versions are those of constraints.txt.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.8"
SETTINGS = {"find-links": "UV_FIND_LINKS", "extra-index-url": "UV_EXTRA_INDEX_URL", "index-url": "UV_DEFAULT_INDEX"}
"""pip's settings -> uv's. uv does not read pip's configuration, so a local mirror or wheel folder is handed on."""


def main() -> int:
    """Create or update the environment. Returns the installer's exit status."""
    folder, extras = Path(sys.argv[1]).absolute(), ",".join(sys.argv[2:])
    if sys.version_info < (3, 11):
        print(
            f"error: Python 3.11 or newer is needed, this is {sys.version.split()[0]}. Try: make PYTHON=python3.11 …",
            file=sys.stderr,
        )
        return 2
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    target = ["-c", str(ROOT / "constraints.txt"), "-e", f"{ROOT}[{extras}]" if extras else str(ROOT)]
    uv = find_uv(folder, python)
    if uv:
        command = [uv, "pip", "install", "-q", "--python", str(python), *target]
        environment = {**os.environ, **pip_settings(python)}
    else:
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *target]
        environment = dict(os.environ)
    print(
        f"Installing llava-graph[{extras}] into {folder.name} with {Path(command[0]).name if uv else 'pip'} …",
        flush=True,
    )
    return subprocess.run(command, env=environment, check=False).returncode


def find_uv(folder: Path, python: Path) -> str | None:
    """uv on PATH, else in the environment (installed now if need be), else None."""
    found = shutil.which("uv") or shutil.which("uv", path=str(folder / "bin"))
    if found:
        return found
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", UV], check=False, capture_output=True
    )
    return shutil.which("uv", path=str(folder / "bin"))


def pip_settings(python: Path) -> dict[str, str]:
    """pip's index settings as uv's environment variables; what the user has set for uv wins."""
    listed = subprocess.run([python, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True).stdout
    found = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = SETTINGS.get(key.rpartition(".")[2])
        if name and name not in os.environ:
            found[name] = value.strip("'\"")
    if "UV_EXTRA_INDEX_URL" in found:
        # pip takes the best version of all its indexes; uv would stop at the first that knows the name.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


if __name__ == "__main__":
    sys.exit(main())
