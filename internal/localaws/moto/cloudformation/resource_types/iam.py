"""IAM roles and their policies, and managed policies."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Failure, Handler, resource_type, tag_list


@resource_type("AWS::IAM::Role")
class Role(Handler):
    service = "iam"
    name_property = "RoleName"
    replaced_by = ("RoleName", "Path")
    taggable = True

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 64)
        settings = {n: v for n, v in properties.items() if n not in ("Policies", "ManagedPolicyArns")}
        self.call("create_role", **dict(settings, RoleName=name))
        try:
            self.change_policies(name, {}, properties)
        except Exception:
            self.delete(name, {})
            raise
        return name, self.attributes(name)

    def attributes(self, name: str) -> dict[str, Any]:
        role = self.call("get_role", RoleName=name)["Role"]
        return {"Arn": role["Arn"], "RoleId": role["RoleId"]}

    def change_policies(self, name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        wanted = {one["PolicyName"]: one["PolicyDocument"] for one in new.get("Policies", [])}
        for policy, document in wanted.items():
            self.call("put_role_policy", RoleName=name, PolicyName=policy, PolicyDocument=document)
        for one in old.get("Policies", []):
            if one["PolicyName"] not in wanted:
                self.call("delete_role_policy", RoleName=name, PolicyName=one["PolicyName"])
        attached, now_attached = old.get("ManagedPolicyArns", []), new.get("ManagedPolicyArns", [])
        for arn in set(now_attached) - set(attached):
            self.call("attach_role_policy", RoleName=name, PolicyArn=arn)
        for arn in set(attached) - set(now_attached):
            self.call("detach_role_policy", RoleName=name, PolicyArn=arn)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.call("update_assume_role_policy", RoleName=physical_id, PolicyDocument=new["AssumeRolePolicyDocument"])
        self.call(
            "update_role",
            RoleName=physical_id,
            Description=new.get("Description", ""),
            MaxSessionDuration=new.get("MaxSessionDuration", 3600),
        )
        boundary = new.get("PermissionsBoundary")
        if boundary:
            self.call("put_role_permissions_boundary", RoleName=physical_id, PermissionsBoundary=boundary)
        elif "PermissionsBoundary" in old:
            self.call("delete_role_permissions_boundary", RoleName=physical_id)
        self.change_policies(physical_id, old, new)
        return self.attributes(physical_id)

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        if tags:
            self.call("tag_role", RoleName=physical_id, Tags=tag_list(tags))
        if removed:
            self.call("untag_role", RoleName=physical_id, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        for policy in self.call("list_role_policies", RoleName=physical_id)["PolicyNames"]:
            self.call("delete_role_policy", RoleName=physical_id, PolicyName=policy)
        for policy in self.call("list_attached_role_policies", RoleName=physical_id)["AttachedPolicies"]:
            self.call("detach_role_policy", RoleName=physical_id, PolicyArn=policy["PolicyArn"])
        self.call("delete_role", RoleName=physical_id)


@resource_type("AWS::IAM::ManagedPolicy")
class ManagedPolicy(Handler):
    service = "iam"
    name_property = "ManagedPolicyName"
    replaced_by = ("ManagedPolicyName", "Description", "Path")

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        refuse_attachments(properties)
        settings = {n: v for n, v in properties.items() if n != "ManagedPolicyName"}
        arn = self.call("create_policy", PolicyName=self.name(properties, 128), **settings)["Policy"]["Arn"]
        return arn, {"PolicyArn": arn}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        refuse_attachments(new)
        self.delete_old_versions(physical_id)  # a policy has at most five
        self.call("create_policy_version", PolicyArn=physical_id, PolicyDocument=new["PolicyDocument"], SetAsDefault=True)
        return {"PolicyArn": physical_id}

    def delete_old_versions(self, arn: str) -> None:
        for version in self.call("list_policy_versions", PolicyArn=arn)["Versions"]:
            if not version["IsDefaultVersion"]:
                self.call("delete_policy_version", PolicyArn=arn, VersionId=version["VersionId"])

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.delete_old_versions(physical_id)
        self.call("delete_policy", PolicyArn=physical_id)


def refuse_attachments(properties: dict[str, Any]) -> None:
    for name in ("Groups", "Roles", "Users"):
        if name in properties:
            raise Failure(f"local AWS does not attach a managed policy to {name} here: attach it with the IAM API")
