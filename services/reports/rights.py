"""What callers' roles may call here. Pure.

The roles are those of profile: everything is denied that is not named. `internal`, the suite's own
services, may do everything. What happened to one person sees who answers people, and nobody else.
"""

from typing import Final

_PACKAGE: Final = "merhaba.reports.v1."


def _methods(service: str, *names: str) -> frozenset[str]:
    return frozenset(f"{_PACKAGE}{service}/{name}" for name in names)


_FIGURES: Final = (
    _methods("ReportService", "Query", "GetOverview", "GetCampaignReport", "GetFunnel")
    | _methods("ReportService", "GetHeatMap", "GetCohorts", "GetStageFlow", "GetCostReport")
    | _methods("ReportService", "WatchLive", "ReconcileWithMeta")
    | _methods("ExperimentService", "GetExperiment", "ListExperiments", "GetExperimentReport")
    | _methods("ExperimentService", "PlanExperiment", "EstimatePolicy", "GetBanditWeights")
    | _methods("ConversionService", "GetConversion", "ListConversions")
    | _methods("AlertService", "GetAlertRule", "ListAlertRules", "ListAlerts")
    | _methods("ExportService", "StartExport", "GetExport", "ListExports", "CancelExport")
    | _methods("ExportService", "DownloadExport", "GetExportSchedule", "ListExportSchedules")
)
RIGHTS: Final = {
    "support": _methods("ReportService", "GetContactTimeline"),
    "marketing": _FIGURES
    | _methods("ExperimentService", "CreateExperiment", "UpdateExperiment", "StopExperiment")
    | _methods("ExperimentService", "DeclareWinner")
    | _methods("ConversionService", "CreateConversion", "UpdateConversion", "DeleteConversion")
    | _methods("AlertService", "CreateAlertRule", "UpdateAlertRule", "DeleteAlertRule")
    | _methods("AlertService", "AcknowledgeAlert")
    | _methods("ExportService", "CreateExportSchedule", "UpdateExportSchedule")
    | _methods("ExportService", "DeleteExportSchedule"),
    "analytics": _FIGURES,
}
"""Methods by role."""
