"""Retort's dashboard: `streamlit run app.py`.

Streamlit reads this file twice: once as the server, which it wraps in what is asked of every request, and then for each
rerun of a page, as a script.
"""

import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.base.private_files import keep_private
from pages.frame.requests import Doors, bound_messages
from pages.frame.shell import enter

if get_script_run_ctx(suppress_warning=True) is None:
    keep_private()
    bound_messages()
    app = st.App(__file__, middleware=[Middleware(Doors)])
else:
    enter()
