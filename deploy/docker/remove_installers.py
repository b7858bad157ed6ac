"""Removes pip and its like from an image: who breaks in finds nothing that installs packages."""

import importlib.util
import shutil
import sysconfig
from pathlib import Path

INSTALLERS = ("pip", "ensurepip", "setuptools", "pkg_resources", "wheel", "_distutils_hack")
# Where Debian's ensurepip has the packages that it installs.
BUNDLED = Path("/usr/share/python-wheels")

for name in INSTALLERS:
    spec = importlib.util.find_spec(name)
    for location in (spec and spec.submodule_search_locations) or ():
        package = Path(location)
        for folder in (package, *package.parent.glob(f"{name}-*.*-info")):
            shutil.rmtree(folder)
        # What setuptools would have each interpreter do as it starts.
        (package.parent / "distutils-precedence.pth").unlink(missing_ok=True)
for folder in (Path(sysconfig.get_path("scripts")), Path("/usr/bin")):
    for script in folder.glob("pip*"):
        script.unlink()
shutil.rmtree(BUNDLED, ignore_errors=True)
