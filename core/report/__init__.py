"""Reports: what an engineer hands to those who pay. Light: no torch, no streamlit."""
