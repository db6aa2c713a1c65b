"""What a run leaves for people: results.json, tables, a curve picture, a page of samples.

`results.write_results`, `tables.comparison_rows`, `curve.write_curve`, `samples_page.write_samples_page`.
"""
