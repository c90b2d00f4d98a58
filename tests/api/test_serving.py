"""Serving needs no training library, and no JSON-LD: a service scores where none of these can be imported."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from api.app import create_app
from api.settings import Settings
from scoring.artifact import load_artifact
from scoring.errors import ArtifactAltered

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

HEAVY = {"torch", "opacus", "opendp", "flwr", "ray", "lightgbm", "sklearn", "scipy", "pandas", "tenseal", "ezkl"}
HEAVY |= {"didkit", "pyld"}  # which stay in processes of their own


class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"serving imports {name}")


sys.meta_path.insert(0, Refuse())

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

specification = spec_from_file_location("harness", sys.argv[1])
harness = module_from_spec(specification)
sys.modules["harness"] = harness
specification.loader.exec_module(harness)
var, model = Path(sys.argv[2]), Path(sys.argv[3])
settings = harness.settings_for(var, f"sqlite:///{var}/data.sqlite3", f"sqlite:///{var}/keys.sqlite3", model)
with harness.running_service(settings) as running:
    score = running.score()
    running.publish()
    assert running.http.get(f"/v1/scores/{score['id']}", headers=running.token()).status_code == 200
assert not HEAVY & {name.partition(".")[0] for name in sys.modules}
print(score["outcome"], score["points"])
"""


def test_a_model_of_another_digest_than_the_settings_name_is_not_served(model, tmp_path):
    settings = Settings(var=tmp_path, model=model, model_sha256=load_artifact(model).digest.hex())
    assert create_app(settings).state.service.rooms.artifact.digest.hex() == settings.model_sha256
    with pytest.raises(ArtifactAltered):
        create_app(replace(settings, model_sha256="00" * 32))


def test_a_service_scores_where_nothing_can_be_imported_that_it_does_without(model, tmp_path):
    harness = Path(__file__).with_name("conftest.py")
    served = subprocess.run(
        [sys.executable, "-c", PROGRAM, harness, tmp_path, model], cwd=ROOT, capture_output=True, text=True
    )
    assert served.returncode == 0, served.stderr[-2000:]
    outcome, points = served.stdout.split()
    assert outcome == "scored"
    assert 300 <= int(points) <= 850
