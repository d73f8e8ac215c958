"""What pyproject.toml cannot say: the write loop in C, without which all works too (`folkmoot doctor` tells)."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "folkmoot.gateway._volley",
            ["src/folkmoot/gateway/_volley.c"],
            # No compiler, or no headers of Python: then each member is written to by its transport, from Python.
            optional=True,
            depends=["src/folkmoot/gateway/_ring.h"],
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
