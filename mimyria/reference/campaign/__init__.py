"""A campaign: many configurations in many fields, planned, run, collected."""

from mimyria.reference.campaign.collecting import Harvest, collect
from mimyria.reference.campaign.plan import Plan
from mimyria.reference.campaign.planning import (
    configurations,
    new_tasks,
    plan_campaign,
    read_configurations,
)
from mimyria.reference.campaign.running import RunEvent, run_campaign
from mimyria.reference.campaign.settings import Settings, load_campaign_settings
from mimyria.reference.campaign.status import CampaignStatus, campaign_status
from mimyria.reference.campaign.tasks import Task, TaskState

__all__ = [
    "CampaignStatus",
    "Harvest",
    "Plan",
    "RunEvent",
    "Settings",
    "Task",
    "TaskState",
    "campaign_status",
    "collect",
    "configurations",
    "load_campaign_settings",
    "new_tasks",
    "plan_campaign",
    "read_configurations",
    "run_campaign",
]
