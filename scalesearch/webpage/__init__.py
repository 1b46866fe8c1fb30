"""The report as one self-contained HTML page: figures by Plotly, text by the report's own sentences.

May import arch, cost, space, plan, records, evidence and report, with plotly, jinja2, markdown-it and pillow; never torch
or Optuna.
"""
