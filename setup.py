"""Where the packages lie: `exporters/`, `runtimes/` and `bench/` stand beside `depthport/` and are imported below it.

Everything else about the distribution is in pyproject.toml, which can't list packages that are found and renamed at once.
"""

from setuptools import find_packages, setup

FOLDERS = ("exporters", "runtimes", "bench")

setup(
    package_dir={f"depthport.{folder}": folder for folder in FOLDERS},
    packages=[
        *find_packages(include=["depthport", "depthport.predict"]),
        *(f"depthport.{name}" for folder in FOLDERS for name in find_packages(include=[folder, f"{folder}.*"])),
    ],
)
