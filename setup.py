"""Location of the packages: the folders are beside `depthport/` and are found below it once installed.

Everything else about the distribution is in pyproject.toml, which can't list packages that are found and renamed at once.
"""

from setuptools import find_packages, setup

FOLDERS = ("exporters", "runtimes", "bench")

setup(
    package_dir={f"depthport.{folder}": folder for folder in (*FOLDERS, "examples")},
    packages=[
        *find_packages(include=["depthport", "depthport.predict"]),
        # Files that are copied, not modules that are imported.
        "depthport.examples",
        *(f"depthport.{name}" for folder in FOLDERS for name in find_packages(include=[folder, f"{folder}.*"])),
    ],
)
