"""The size of the package: lines by room, entries of its top level, import time, files that a strategy needs."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import tts_study

PACKAGE = Path(tts_study.__file__).parent
MADE = "micro"  # how the micro world was made: not part of what a user imports
LONGEST = 250  # lines of a file
IMPORTS = ("import tts_study", "from tts_study import Study")
STRATEGY = "rebase"  # the one that was added last


def rooms_report() -> str:
    """The table, as text."""
    lines, long = Counter[str](), []
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        count = len(path.read_text().splitlines())
        lines[f"{inside.parts[0]}/" if len(inside.parts) > 1 else "(files)"] += count
        long += [f"{inside} ({count})"] * (count > LONGEST)
    naming = files_naming(STRATEGY)
    rows = [f"{count:7,}  {room}" for room, count in sorted(lines.items())]
    return "\n".join([
        "  lines  room",
        *rows,
        f"{lines.total() - lines[f'{MADE}/']:7,}  without {MADE}/",
        f"{len(entries()):7}  entries at the top level",
        f"{len(naming):7}  files that name the strategy {STRATEGY}: {', '.join(naming)}",
        *(f"{import_seconds(code):7.2f}  seconds: {code}, the least of 5" for code in IMPORTS),
        f"{len(long):7}  files of more than {LONGEST} lines{': ' * bool(long)}{', '.join(long)}",
    ])  # fmt: skip


def entries() -> list[str]:
    """The modules and folders at the package's top level."""
    return [path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))]


def files_naming(strategy: str) -> list[str]:
    """The package's files that name a strategy: a new one must be written or changed in each of them."""
    return [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if strategy in path.read_text()]


def import_seconds(statement: str, times: int = 5) -> float:
    """The least time that an import takes in a new process, without Python's own start."""
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    runs = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(times))
    return min(float(run.stdout) for run in runs)
