"""The jars of a real Cassandra, and the Java that runs them: found, or fetched once with Maven."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

CASSANDRA_VERSION: Final = "5.0.8"
POM: Final = Path(__file__).with_name("cassandra.pom.xml")
JAVA_MAJORS: Final = (17,)
FETCH_S_MAX: Final = 900.0
PACKAGES: Final = "On Debian: apt-get install openjdk-17-jre-headless maven"


class CassandraMissing(Exception):
    """What is not there, and how to get it."""


class CassandraUnreachable(CassandraMissing):
    """Maven is here, and could not bring the jars: a fault of the network, or of a mirror."""


def java() -> str:
    """The program that runs Cassandra: of JAVA_HOME, or of the path. Raises CassandraMissing where it is not 17."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None or not Path(program).exists():
        raise CassandraMissing(f"Java 17 is needed for Cassandra, and there is no java. {PACKAGES}")
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found.group(1)) not in JAVA_MAJORS:
        words = said.splitlines()[0] if said else "nothing that says its version"
        raise CassandraMissing(f"Java 17 is needed for Cassandra; {program} is {words}. {PACKAGES}")
    return program


def jars_folder() -> Path:
    """Where the jars are kept on this machine, for every cluster and every run of the tests."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "folkmoot" / f"cassandra-{CASSANDRA_VERSION}"


def jars() -> Path:
    """The folder with the jars. Raises CassandraMissing where they were not fetched yet."""
    folder = jars_folder()
    if not folder.is_dir():
        raise CassandraMissing(f"Cassandra's jars are not in {folder}: fetch them with make cluster")
    return folder


def fetched() -> Path:
    """The folder with the jars, fetched where they are not there: about 70 MB. Raises CassandraMissing."""
    folder = jars_folder()
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise CassandraMissing(f"Maven is needed to fetch Cassandra, and there is no mvn. {PACKAGES}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as work:
        # Into a folder beside it, and renamed: half a set of jars would never be fetched again.
        into = Path(work) / "jars"
        command = [
            maven, "--quiet", "--batch-mode", "--strict-checksums", "--file", str(POM),
            "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_S_MAX)
        if done.returncode != 0 or not (into / f"cassandra-all-{CASSANDRA_VERSION}.jar").exists():
            words = (done.stdout + done.stderr).strip()[-1_500:]
            raise CassandraUnreachable(f"Maven did not bring Cassandra {CASSANDRA_VERSION}. It said: {words}")
        try:
            into.rename(folder)
        except OSError:
            # Somebody else was faster, with the same jars.
            if not folder.is_dir():
                raise
    return folder
