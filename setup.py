"""Which folders become packages; everything else about the package is in setup.cfg.

`notebooks/`, `own_model/`, `pretrained/` and `resources/` lie at the top of the checkout, where a reader finds them,
and are installed inside the package, where the code finds them: `Path(calmvae.__file__).parent / "own_model"`. A
checkout without one of them still installs.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
TOP = ("notebooks", "own_model", "pretrained", "resources")
package_dir = {f"calmvae.{name}": name for name in TOP if (HERE / name).is_dir()}

setup(packages=["calmvae", *find_packages(include=["calmvae.*"]), *package_dir], package_dir=package_dir)
