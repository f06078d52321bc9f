"""What SAM makes of the template, which is what CloudFormation gets."""

import subprocess

from local.template import ROOT

TRANSFORM = """
import sys
from types import SimpleNamespace
from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse

template = yaml_parse(open("template.yaml").read())
policies = SimpleNamespace(load=dict)
validator = SamTemplateValidator(template, policies, region="us-east-1")
sys.stdout.write(validator.get_translated_template_if_valid())
"""


def test_the_transformed_template_passes_cfn_lint(tmp_path):
    sam = ROOT / ".local/venv/sam/bin"
    command = [str(sam / "python"), "-c", TRANSFORM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "transformed.yaml").write_text(done.stdout)
    command = [str(sam / "cfn-lint"), str(tmp_path / "transformed.yaml")]
    lint = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout
