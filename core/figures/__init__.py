"""Charts as pure functions: data in, a plotly figure out. The pages and the report share them."""
