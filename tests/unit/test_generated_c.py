"""No function of the core calls the Python API: checked in the C++ that Cython makes of ext/core.pyx.

Every function that an included .pxi file defines must be there, and its body may name nothing of Python's: objects,
exceptions, reference counts, the interpreter's lock. Cython emits calls of `__Pyx_` for errors and objects; of those
none is allowed either.
"""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INCLUDED = re.compile(r'^include "([a-z]+\.pxi)"', re.MULTILINE)
DEFINED = re.compile(r"^cdef (?:inline )?[\w*]+\*? (\w+)\(", re.MULTILINE)
PYTHON = re.compile(r"\b(_?Py[A-Z_]\w*|__Pyx_(?!memviewslice)\w+|__pyx_(?:L\d+_error|n_s_\w+|kp_\w+|int_\w+|tuple_\w+|"
                    r"builtin_\w+|d|m|mstate\w*))\b")
PREFIX = "__pyx_f_10controller_5_core_"
HARMLESS = ("__Pyx_div_", "__Pyx_mod_", "__Pyx_pow_", "Py_ssize_t")     # arithmetic on C numbers, and a C type


def built_with() -> dict[str, object]:
    """The Cython directives of the build: setup.py's table, read without building anything."""
    directives = runpy.run_path(str(ROOT / "setup.py"), run_name="directives")["DIRECTIVES"]
    assert isinstance(directives, dict)
    return directives


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Cython makes of the present sources (never a stale ext/core.cpp), under setup.py's own directives."""
    target = tmp_path_factory.mktemp("cython") / "core.cpp"
    directives = ",".join(f"{name}={value}" for name, value in built_with().items())
    sys.path.insert(0, str(ROOT))
    from controller.spec.emit import write_generated
    write_generated(ROOT / "ext" / "generated")
    done = subprocess.run([sys.executable, "-m", "cython", "--cplus", "-X", directives, "-I", "ext",
                           "--module-name", "controller._core", "ext/core.pyx", "-o", str(target)],
                          cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return target.read_text()


def core_functions() -> list[str]:
    """Names of all functions of the core, in the order of the sources."""
    files = INCLUDED.findall((ROOT / "ext" / "core.pyx").read_text())
    nouns = ("telegram", "axis", "safety", "motion", "external", "modes", "cycle", "thread")
    assert {f"{noun}.pxi" for noun in nouns} <= set(files)
    names = [name for file in files for name in DEFINED.findall((ROOT / "ext" / file).read_text())]
    return [*names, "error_category", "error_resettable"]      # of generated/spec.pxi


def bodies(text: str, prefix: str = PREFIX) -> dict[str, str]:
    """Function name -> its C body, braces matched; comments and strings left out."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    found: dict[str, str] = {}
    for match in re.finditer(rf"\b{prefix}(\w+)\s*\(", text):
        at, depth = match.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        while text[at].isspace():
            at += 1
        if text[at] != "{":
            continue        # a call or a declaration
        start, depth = at, 0
        while True:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
            if not depth:
                break
        found[match.group(1)] = text[start:at]
    return found


def python_calls(body: str) -> list[str]:
    return [name for name in PYTHON.findall(body) if not name.startswith(HARMLESS)]


def test_no_function_of_the_core_calls_python(generated: str) -> None:
    found = bodies(generated)
    names = core_functions()
    assert len(names) > 90
    missing = [name for name in names if name not in found]
    assert not missing, f"not found in the generated C: {missing}"
    guilty = {name: calls for name in names if (calls := python_calls(found[name]))}
    assert not guilty


def test_every_function_of_the_core_says_nogil_and_noexcept() -> None:
    files = INCLUDED.findall((ROOT / "ext" / "core.pyx").read_text())
    for file in files:
        for line in (ROOT / "ext" / file).read_text().replace(",\n", ", ").splitlines():
            if re.match(r"cdef .*\w+\(.*\)", line):
                assert line.rstrip().endswith("noexcept nogil:"), (file, line)


GUILTY = """
static CYTHON_INLINE int __pyx_f_10controller_5_core_good(struct S *m) {
  m->x = (m->x + 1); /* PyErr_Occurred in a comment, "}" too */
  return __pyx_f_10controller_5_core_bad(m);
}
static int __pyx_f_10controller_5_core_bad(struct S *m) { if (m) { %s } return 0; }
"""


@pytest.mark.parametrize("call", ["PyErr_SetString(x, y);", "PyGILState_Ensure();", "__Pyx_INCREF(o);",
                                  "_Py_NewRef(o);", "__Pyx_RaiseUnboundLocalError(a);", "__Pyx_WriteUnraisable(a);",
                                  "goto __pyx_L1_error;", "f(__pyx_n_s_values);",
                                  "__Pyx_PyObject_Call(f, a, k);", "PyMem_Malloc(3);"])
def test_the_check_can_fail(call: str) -> None:
    found = bodies(GUILTY % call)
    assert set(found) == {"good", "bad"}
    assert not python_calls(found["good"])
    assert python_calls(found["bad"])


def test_the_check_finds_a_python_object_in_real_output(tmp_path: Path) -> None:
    """Cython itself, given a function of the core's kind that forgets `nogil`."""
    source = tmp_path / "sample.pyx"
    source.write_text("cdef int clean(int a) noexcept nogil:\n    return a + 1\n\n"
                      "cdef int dirty(int a) noexcept:\n    return len(str(a))\n\nprint(clean(1), dirty(2))\n")
    subprocess.run([sys.executable, "-m", "cython", "--cplus", "-3", str(source)], check=True, timeout=60,
                   capture_output=True)
    found = bodies((tmp_path / "sample.cpp").read_text(), "__pyx_f_6sample_")
    assert not python_calls(found["clean"])
    assert python_calls(found["dirty"])


def test_the_directives_checked_are_those_of_the_build() -> None:
    """setup.py hands its table to Cython, whole and nothing else."""
    assert built_with()["boundscheck"] is False
    assert re.findall(r"compiler_directives=(\w+)", (ROOT / "setup.py").read_text()) == ["DIRECTIVES"]
