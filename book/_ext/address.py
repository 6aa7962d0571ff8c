"""Show repository, edit and launch buttons once `_config.yml` names a public address, and not before."""

from sphinx.application import Sphinx
from sphinx.config import Config

BUTTONS = {
    "use_repository_button": True,
    "use_edit_page_button": True,
    "use_issues_button": True,
    "launch_buttons": {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    },
}


def show_buttons(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    if options.get("repository_url"):
        options.update(BUTTONS)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", show_buttons, priority=100)  # before the theme reads its options
    return {"parallel_read_safe": True, "parallel_write_safe": True}
