"""curl -L with JSON or a form; the case comes as JSON in the one argument."""

import json
import subprocess
import sys

PATHS = {"generate": "generations", "edit": "edits", "variation": "variations"}


def main():
    asked = json.loads(sys.argv[1])
    names = ("prompt", "size", "response_format", "output_format")
    given = {name: asked[name] for name in names if asked[name]}
    url = f"{asked['base_url']}/images/{PATHS[asked['operation']]}"
    command = ["curl", "-sS", "-L", url, "-H", f"Authorization: Bearer {asked['key']}"]
    if asked["operation"] == "generate":
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(given)]
    else:
        command += ["-F", f"image=@{asked['picture']}"]
        command += [part for name in given for part in ("-F", f"{name}={given[name]}")]
    answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    if "data" not in answer:
        sys.exit(json.dumps(answer))
    json.dump(answer["data"], sys.stdout)


main()
