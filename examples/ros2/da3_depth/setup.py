"""The ROS 2 package."""

from setuptools import setup

setup(
    name="da3_depth",
    version="0.1.0",
    packages=["da3_depth"],
    package_data={"da3_depth": ["*.onnx*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/da3_depth"]),
        ("share/da3_depth", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={"console_scripts": ["depth = da3_depth.node:main"]},
)
