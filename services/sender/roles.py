"""Roles of callers: what each may call here, and what it sees of a person in previews. Pure.

The roles are those of profile, and see no more here than there: everything is denied that is not
named. `internal`, the suite's own services, may and sees everything.
"""

from typing import Final, NamedTuple

_PACKAGE: Final = "merhaba.sender.v1."


def _methods(service: str, *names: str) -> frozenset[str]:
    return frozenset(f"{_PACKAGE}{service}/{name}" for name in names)


_TEMPLATES: Final = _methods("TemplateService", "GetTemplate", "ListTemplates", "LintTemplate")
_CAMPAIGNS: Final = _methods("CampaignService", "GetCampaign", "ListCampaigns", "WatchCampaign")
_PREVIEW: Final = _methods("TemplateService", "PreviewTemplate")


class Sight(NamedTuple):
    """What a role may call and see."""

    methods: frozenset[str]
    personal: bool
    """Values of attributes and traits that are personal, and of what a person did."""


INTERNAL: Final = Sight(frozenset(), personal=True)
SIGHTS: Final[dict[str, Sight]] = {
    # People who answer a person: what somebody got and why.
    "support": Sight(
        _TEMPLATES
        | _CAMPAIGNS
        | _PREVIEW
        | _methods("MessageService", "GetMessage", "ListMessages", "ExplainSend"),
        personal=True,
    ),
    # People who plan campaigns: the words, and whom they reach, but not who that is.
    "marketing": Sight(
        _TEMPLATES
        | _CAMPAIGNS
        | _PREVIEW
        | _methods("TemplateService", "CreateTemplate", "UpdateTemplate", "DeleteTemplate")
        | _methods("TemplateService", "SyncTemplates")
        | _methods("CampaignService", "CreateCampaign", "UpdateCampaign", "SetVariantWeights")
        | _methods("CampaignService", "PreflightCampaign", "LaunchCampaign", "PauseCampaign")
        | _methods("CampaignService", "ResumeCampaign", "CancelCampaign")
        | _methods("FileService", "CreateFile", "AppendFile", "GetFile")
        | _methods("NumberService", "GetNumber", "ListNumbers")
        | _methods("PolicyService", "GetPolicy")
        | _methods("RateCardService", "GetRateCard", "ListRateCards"),
        personal=False,
    ),
    # People who count.
    "analytics": Sight(_TEMPLATES | _CAMPAIGNS, personal=False),
}


def sight(role: str) -> Sight:
    """What a role may see."""
    return INTERNAL if role == "internal" else SIGHTS[role]
