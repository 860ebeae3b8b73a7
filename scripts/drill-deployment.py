#!/usr/bin/env python3
"""Deploys the templates of dev into ministack, an emulator of AWS that somebody else wrote.

Says stack by stage what went in, compares what is there then with what the catalogue declares, and lists
what only a real account can prove. Needs `npm run synth` in cdk, and ministack and boto3 in .tools/venv.
"""

import io
import json
import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

ROOT = Path(__file__).resolve().parent.parent
ASSEMBLY = ROOT / "cdk/cdk.out/drill/assembly-rollcall-dev"
REGION = "us-east-1"
START_SECONDS_MAX = 60
STACK_SECONDS_MAX = 300

ONLY_A_REAL_ACCOUNT = [
    "that IAM really denies what the policies do not allow (cdk/test/simulator.test.ts simulates it)",
    "that the user pool's hosted pages, domain and triggers work",
    "that streams, queues and partial batches behave (ministack resumes elsewhere; our own cloud is the model)",
    "CodeDeploy's canary and its going back, alarms, budgets, dashboards",
    "CloudFront, the firewall, certificates and hosts",
    "point-in-time recovery, backups and replicas, and how long a restore takes",
    "the account's quotas",
]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def start(port: int) -> subprocess.Popen:
    program = ROOT / ".tools/venv/bin/ministack"
    variables = {**os.environ, "GATEWAY_PORT": str(port), "EDGE_PORT": str(port), "MINISTACK_PORT": str(port)}
    log = open(ROOT / "target/ministack.log", "w", encoding="utf-8")
    process = subprocess.Popen([program], env=variables, stdout=log, stderr=log)
    for _second in range(START_SECONDS_MAX):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(1)
    process.terminate()
    raise SystemExit("ministack does not start: see target/ministack.log")


class Account:
    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


def stacks() -> list[tuple[str, Path]]:
    """The stacks of dev, each after those that it builds on."""
    artifacts = json.loads((ASSEMBLY / "manifest.json").read_text())["artifacts"]
    waiting = {
        name: artifact for name, artifact in artifacts.items() if artifact["type"] == "aws:cloudformation:stack"
    }
    ordered: list[tuple[str, Path]] = []
    done: set[str] = set()
    while waiting:
        ready = [n for n, a in waiting.items() if not (set(a.get("dependencies", [])) & (set(waiting) - {n}))]
        if not ready:
            raise SystemExit("the stacks wait for each other")
        for name in ready:
            properties = waiting.pop(name)["properties"]
            ordered.append((properties["stackName"], ASSEMBLY / properties["templateFile"]))
            done.add(name)
    return ordered


def publish(account: Account) -> int:
    """Puts the programs where the templates expect them, as `cdk deploy` does."""
    s3 = account.client("s3")
    identity = account.client("sts").get_caller_identity()["Account"]
    bucket = f"cdk-hnb659fds-assets-{identity}-{REGION}"
    s3.create_bucket(Bucket=bucket)
    account.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    published = set()
    for listing in ASSEMBLY.glob("*.assets.json"):
        for key, file in json.loads(listing.read_text())["files"].items():
            source = ASSEMBLY / file["source"]["path"]
            if file["source"]["packaging"] != "zip" or key in published:
                continue
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for path in source.iterdir():
                    archive.write(path, path.name)
            s3.put_object(Bucket=bucket, Key=f"{key}.zip", Body=packed.getvalue())
            published.add(key)
    return len(published)


def upload(account: Account, template: Path) -> str:
    """Templates are larger than what a call may hold."""
    s3 = account.client("s3")
    identity = account.client("sts").get_caller_identity()["Account"]
    bucket = f"cdk-hnb659fds-assets-{identity}-{REGION}"
    s3.put_object(Bucket=bucket, Key=template.name, Body=template.read_bytes())
    return f"{account.endpoint}/{bucket}/{template.name}"


def deploy(account: Account, name: str, template: Path) -> str:
    cloudformation = account.client("cloudformation")
    try:
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=upload(account, template),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[],
        )
        for _second in range(STACK_SECONDS_MAX):
            stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                reason = stack.get("StackStatusReason", "")
                return f"{stack['StackStatus']} {reason}".strip()
            time.sleep(1)
        return "did not end"
    except (BotoCoreError, ClientError) as error:
        return f"refused: {error}"


def compare(account: Account) -> list[str]:
    """What is declared and not there, or there in another way."""
    catalogue = json.loads((ROOT / "cdk/functions.json").read_text())
    faults = []

    def look(what: str, call) -> None:
        try:
            fault = call()
        except (BotoCoreError, ClientError, KeyError) as error:
            fault = str(error)
        if fault:
            faults.append(f"{what}: {fault}")

    dynamodb, sqs, functions = (account.client(name) for name in ("dynamodb", "sqs", "lambda"))
    for table in catalogue["tables"]:
        def check_table(table=table):
            found = dynamodb.describe_table(TableName=f"rollcall-dev-{table['name']}")["Table"]
            keys = [key["AttributeName"] for key in found["KeySchema"]]
            expected = [table["partition_key"], table["sort_key"]]
            indexes = sorted(index["IndexName"] for index in found.get("GlobalSecondaryIndexes", []))
            declared = sorted(index["name"] for index in table["indexes"])
            return None if (keys, indexes) == (expected, declared) else f"keys {keys}, indexes {indexes}"
        look(f"table {table['name']}", check_table)
    for queue in catalogue["queues"]:
        def check_queue(queue=queue):
            url = sqs.get_queue_url(QueueName=f"rollcall-dev-{queue['name']}")["QueueUrl"]
            found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            if int(found["VisibilityTimeout"]) != queue["visibility_timeout_seconds"]:
                return f"visibility {found['VisibilityTimeout']}"
            return None if bool(queue["redrive"]) == ("RedrivePolicy" in found) else "redrive"
        look(f"queue {queue['name']}", check_queue)
    by_pool = [{"cognito"}]
    for function in catalogue["functions"]:
        if {trigger["kind"] for trigger in function["triggers"]} in by_pool:
            continue
        def check_function(function=function):
            full = f"rollcall-dev-{function['name']}"
            found = functions.get_function_configuration(FunctionName=full)
            if (found["MemorySize"], found["Timeout"]) != (function["memory_mb"], function["timeout_seconds"]):
                return f"memory {found['MemorySize']}, time-out {found['Timeout']}"
            variables = sorted(found.get("Environment", {}).get("Variables", {}))
            if variables != sorted(function["settings"]):
                return f"settings {variables}"
            functions.get_alias(FunctionName=full, Name="live")
            return None
        look(f"function {function['name']}", check_function)
    routes = sorted(
        f"{trigger['method']} {trigger['path']}"
        for function in catalogue["functions"]
        for trigger in function["triggers"]
        if trigger["kind"] == "http"
    )

    def check_routes():
        gateway = account.client("apigatewayv2")
        [api] = [each for each in gateway.get_apis()["Items"] if each["Name"] == "rollcall-dev-api"]
        found = sorted(route["RouteKey"] for route in gateway.get_routes(ApiId=api["ApiId"], MaxResults="500")["Items"])
        return None if found == routes else f"{len(found)} of {len(routes)} are there"
    look("routes", check_routes)
    return faults


def live_versions(account: Account, names: list[str]) -> dict[str, str]:
    functions = account.client("lambda")
    return {name: functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"] for name in names}


def add_missing(account: Account, names: list[str]) -> None:
    """The functions of the user pool, whose stack the drill leaves out."""
    functions = account.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    existing = {function["FunctionName"] for page in pages for function in page["Functions"]}
    for name in sorted(set(names) - existing):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("bootstrap", f"a program of {name}")
        functions.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role="arn:aws:iam::000000000000:role/drill",
            Code={"ZipFile": packed.getvalue()},
        )
        version = functions.publish_version(FunctionName=name)["Version"]
        functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)


def release_again(account: Account, names: list[str]) -> None:
    """Gives every function another program, and all calls to it, as a release does."""
    functions = account.client("lambda")
    for name in names:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("bootstrap", f"another program of {name}")
        functions.update_function_code(FunctionName=name, ZipFile=packed.getvalue())
        version = functions.publish_version(FunctionName=name)["Version"]
        functions.update_alias(FunctionName=name, Name="live", FunctionVersion=version)


def go_back(account: Account) -> list[str]:
    """Whatever `rollcall rollback` did not bring back to the version of before."""
    catalogue = json.loads((ROOT / "cdk/functions.json").read_text())
    names = [f"rollcall-dev-{function['name']}" for function in catalogue["functions"]]
    add_missing(account, names)
    first = live_versions(account, names)
    release_again(account, names)
    second = live_versions(account, names)
    faults = [f"{name} was not released again" for name in names if first[name] == second[name]]
    variables = {
        **os.environ,
        "PATH": f"{ROOT / '.tools/venv/bin'}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": account.endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    program = [str(ROOT / "target/debug/rollcall"), "rollback", "--stage", "dev", "--yes"]
    done = subprocess.run(program, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        faults.append(f"rollcall rollback ended with {done.returncode}: {done.stderr[-300:]}")
    third = live_versions(account, names)
    faults += [f"{name} is at {third[name]}, not {first[name]}" for name in names if third[name] != first[name]]
    print(f"{len(names)} functions released again, {len(names) - len(faults)} gone back")
    return faults


def main() -> int:
    if not ASSEMBLY.is_dir():
        raise SystemExit("there are no templates: run npm run synth in cdk first")
    (ROOT / "target").mkdir(exist_ok=True)
    port = free_port()
    process = start(port)
    try:
        account = Account(port)
        print(f"{publish(account)} programs published")
        failed = 0
        for name, template in stacks():
            state = deploy(account, name, template)
            failed += state != "CREATE_COMPLETE"
            count = len(json.loads(template.read_text())["Resources"])
            print(f"{name:<32} {count:>4} resources  {state[:300]}")
        faults = compare(account) + go_back(account)
        for fault in faults:
            print(f"fault: {fault[:300]}")
        print(f"{failed} stacks failed, {len(faults)} things are not as they should be")
    finally:
        process.terminate()
        process.wait(timeout=30)
    print("only a real account can prove:")
    for what in ONLY_A_REAL_ACCOUNT:
        print(f"  {what}")
    return 1 if failed or faults else 0


if __name__ == "__main__":
    sys.exit(main())
