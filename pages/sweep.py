"""sweep."""
from pages.shared.shell import guard

guard()
import streamlit as st
st.title("sweep", anchor=False)
