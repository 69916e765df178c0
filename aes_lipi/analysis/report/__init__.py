"""The report of a study: one page, its figures and its tables as files."""

from aes_lipi.analysis.report.writing import Report, analyse

__all__ = ["Report", "analyse"]
