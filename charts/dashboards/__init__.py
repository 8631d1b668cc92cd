"""The Grafana dashboards of the chart, as code: `python -m charts.dashboards` writes them to charts/assay/files/dashboards.

Made with grafana-foundation-sdk. Neither operator nor runner knows this folder, and the chart's package leaves it out.
"""
