"""What specs say about pods, as far as it has a form of its own: variables, resources, volumes, tolerations, labels.

A user's part of it is `JobTemplate`; what could widen a user's permissions is not in it (see `assay_api.runtime`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, field_validator, model_validator

from assay_api.base import Spec
from assay_api.rules import Rule, checked, keyed, refuse_doubles
from assay_api.texts import LabelValue, Name, QualifiedName, Quantity, ShortText

Image = Annotated[str, StringConstraints(min_length=1, max_length=512)]

VARIABLE_HAS_ONE_VALUE = Rule(
    "has(self.value) != has(self.secretKeyRef)",
    "a variable has both or neither of value and secretKeyRef; give exactly one",
)
_OWN_PREFIXES = ("ASSAY_", "AWS_", "LD_", "PYTHON")
_OWN_SUFFIX = "_VISIBLE_DEVICES"
_OWN_NAMES = ("HOME", "OPENAI_API_KEY", "PATH", "POD_NAME", "TMPDIR")
VARIABLE_IS_THE_USERS = Rule(
    " && ".join(
        [
            *(f"!self.name.startsWith('{prefix}')" for prefix in _OWN_PREFIXES),
            f"!self.name.endsWith('{_OWN_SUFFIX}')",
            f"!(self.name in {list(_OWN_NAMES)})",
        ]
    ),
    "this variable is set by Assay or the platform (ASSAY_*, AWS_*, LD_*, PYTHON*, *_VISIBLE_DEVICES, HOME, "
    "OPENAI_API_KEY, PATH, POD_NAME, TMPDIR); use another name, or ask for it in the runtime's podTemplate.env",
)
_OWN_LABEL_PREFIXES = ("app.kubernetes.io/", "assay.dev/", "batch.kubernetes.io/", "kueue.x-k8s.io/")
_OWN_LABELS = ("controller-uid", "job-name")
LABELS_ARE_THE_USERS = Rule(
    "self.all(key, "
    + " && ".join(f"!key.startsWith('{prefix}')" for prefix in _OWN_LABEL_PREFIXES)
    + f" && !(key in {list(_OWN_LABELS)}))",
    "labels that start with app.kubernetes.io/, assay.dev/, batch.kubernetes.io/ or kueue.x-k8s.io/, and job-name and "
    "controller-uid, are set by Assay and Kubernetes; use a prefix of your own, and spec.queueName for Kueue",
)

EXISTS_HAS_NO_VALUE = Rule(
    "self.operator != 'Exists' || !has(self.value) || self.value == ''",
    "operator Exists compares no value; remove value or use operator Equal",
    ".value",
)
EVERY_KEY_EXISTS = Rule(
    "self.operator == 'Exists' || (has(self.key) && self.key != '')",
    "a toleration without a key means every taint, which only operator Exists can say; add key or use operator Exists",
    ".operator",
)
SECONDS_BEFORE_NO_EXECUTE = Rule(
    "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
    "tolerationSeconds counts for effect NoExecute alone; remove it or use that effect",
    ".tolerationSeconds",
)


def _part_of_a_pod(about: str, **fields: str) -> tuple[AfterValidator, WithJsonSchema]:
    """A mapping in which these fields (name → description) must be texts; the rest Kubernetes checks."""

    def has_them(part: dict[str, Any]) -> dict[str, Any]:
        for field in fields:
            if not isinstance(part.get(field), str) or not part[field]:
                raise ValueError(f"{field} is missing; add it")
        return part

    texts = {
        name: {"type": "string", "minLength": 1, "maxLength": 1024, "description": description}
        for name, description in fields.items()
    }
    schema = {
        "description": about,
        "type": "object",
        "properties": texts,
        "required": list(fields),
        "additionalProperties": True,
    }
    return AfterValidator(has_them), WithJsonSchema(schema)


Volume = Annotated[
    dict[str, Any], *_part_of_a_pod("One volume of the pods.", name="Name by which volumeMounts and cache refer to it.")
]
VolumeMount = Annotated[
    dict[str, Any],
    *_part_of_a_pod(
        "A mounted volume.", name="Name of one of the volumes.", mountPath="Folder at which the pods see it."
    ),
]


class SecretKeyRef(Spec):
    """One key of a Secret in the job's namespace."""

    name: Name = Field(description="Name of the Secret.")
    key: ShortText = Field(description="Key in the Secret.")


class SecretRef(Spec):
    """A Secret in the job's namespace."""

    name: Name = Field(description="Name of the Secret.")


class EnvVar(Spec):
    """One environment variable of the pods that plan and work."""

    model_config = Spec.model_config | {"json_schema_extra": checked(VARIABLE_HAS_ONE_VALUE)}

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)] = Field(
        description="Name of the variable."
    )
    value: str | None = Field(default=None, max_length=32768, description="Value of the variable.")
    secret_key_ref: SecretKeyRef | None = Field(
        default=None, description="Key of a Secret that holds its value, instead of value."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.value is None) == (self.secret_key_ref is None):
            raise ValueError(VARIABLE_HAS_ONE_VALUE.sentence)
        return self


class UserEnvVar(EnvVar):
    """One environment variable of the pods that plan and work, under a name that neither Assay nor the platform uses."""

    model_config = Spec.model_config | {"json_schema_extra": checked(VARIABLE_HAS_ONE_VALUE, VARIABLE_IS_THE_USERS)}

    @field_validator("name")
    @classmethod
    def _name_is_the_users(cls, name: str) -> str:
        if name.startswith(_OWN_PREFIXES) or name.endswith(_OWN_SUFFIX) or name in _OWN_NAMES:
            raise ValueError(VARIABLE_IS_THE_USERS.sentence)
        return name


class Resources(Spec):
    """Compute resources of a work pod, as in Kubernetes."""

    requests: dict[QualifiedName, Quantity] = Field(
        default_factory=dict, max_length=32, description="What the scheduler reserves, such as cpu: 4 or memory: 32Gi."
    )
    limits: dict[QualifiedName, Quantity] = Field(
        default_factory=dict, max_length=32, description="What a pod may use at most; nvidia.com/gpu is given here."
    )


class Toleration(Spec):
    """A taint the work pods tolerate, as in Kubernetes."""

    model_config = Spec.model_config | {
        "json_schema_extra": checked(EXISTS_HAS_NO_VALUE, EVERY_KEY_EXISTS, SECONDS_BEFORE_NO_EXECUTE)
    }

    key: str | None = Field(default=None, max_length=317, description="Key of the taint; without it, every taint.")
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="Equal compares the taint's value, Exists does not."
    )
    value: str | None = Field(default=None, max_length=63, description="Value of the taint, for Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; without it, every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=31_536_000, description="How long NoExecute is tolerated, in seconds."
    )

    @model_validator(mode="after")
    def _kubernetes_accepts_it(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError(EXISTS_HAS_NO_VALUE.sentence)
        if self.operator != "Exists" and not self.key:
            raise ValueError(EVERY_KEY_EXISTS.sentence)
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError(SECONDS_BEFORE_NO_EXECUTE.sentence)
        return self


def refuse_own_labels(labels: dict[str, str]) -> dict[str, str]:
    """The models' side of `LABELS_ARE_THE_USERS`: the labels, or ValueError."""
    if any(key.startswith(_OWN_LABEL_PREFIXES) or key in _OWN_LABELS for key in labels):
        raise ValueError(LABELS_ARE_THE_USERS.sentence)
    return labels


class JobTemplate(Spec):
    """What a user may set on the work pods; merged over the runtime's pod template."""

    resources: Resources | None = Field(default=None, description="Compute resources of each pod.")
    env: list[UserEnvVar] = Field(
        default_factory=list,
        max_length=64,
        description="Environment variables of the pods that plan and work.",
        json_schema_extra=keyed("name"),
    )
    labels: dict[QualifiedName, LabelValue] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels of the pods.",
        json_schema_extra=checked(LABELS_ARE_THE_USERS),
    )
    node_selector: dict[QualifiedName, LabelValue] = Field(
        default_factory=dict, max_length=32, description="Labels a node must have to run them."
    )
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32, description="Taints they tolerate.")

    @field_validator("env")
    @classmethod
    def _variables_are_distinct(cls, env: list[UserEnvVar]) -> list[UserEnvVar]:
        refuse_doubles("variable", [variable.name for variable in env])
        return env

    @field_validator("labels")
    @classmethod
    def _labels_are_the_users(cls, labels: dict[str, str]) -> dict[str, str]:
        return refuse_own_labels(labels)
