"""The page's colours and letters."""

import gradio as gr
from gradio.themes.utils.fonts import LocalFont


def theme() -> gr.themes.Base:
    """Quiet colours, gradio's own local fonts, no web fonts."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        # Weight 700, because the 600 that gradio ships lacks letters.
        font=(LocalFont("IBM Plex Sans", (400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(LocalFont("IBM Plex Mono", (400, 700)), "ui-monospace", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        block_border_width="1px",
        block_shadow="none",
        # gradio's own grey on white is too faint to read (2.6:1); these have more than 4.5:1.
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )
