"""The page's colours and type for Gradio's own parts, taken from the token view's palette; nothing is fetched.

The layout is in `assets/page.css`.
"""

from __future__ import annotations

import gradio as gr

PAGE, PAGE_DARK = "#fbfaf7", "#14161a"
CARD, CARD_DARK = "#ffffff", "#1c1f25"
INK, INK_DARK = "#1d1f23", "#e8e6e1"
SOFT, SOFT_DARK = "#5a616d", "#a3a9b4"
LINE, LINE_DARK = "#e3e0d8", "#30343c"
ACCENT, ACCENT_DARK = "#2457a6", "#8fb4f2"
ACCENT_SOFT, ACCENT_SOFT_DARK = "#e8eef8", "#22304a"
ON_ACCENT, ON_ACCENT_DARK = "#ffffff", "#0d1420"
FONTS = ["Noto Sans", "system-ui", "sans-serif"]
MONO_FONTS = ["Noto Sans Mono", "ui-monospace", "monospace"]


def theme() -> gr.themes.Base:
    """Warm white by day, near black by night; cards with thin lines."""
    made = gr.themes.Base(font=FONTS, font_mono=MONO_FONTS, radius_size="md", text_size="md")
    pairs = {
        "body_background_fill": (PAGE, PAGE_DARK),
        "background_fill_primary": (CARD, CARD_DARK),
        "background_fill_secondary": (PAGE, PAGE_DARK),
        "body_text_color": (INK, INK_DARK),
        "body_text_color_subdued": (SOFT, SOFT_DARK),
        "border_color_primary": (LINE, LINE_DARK),
        "border_color_accent": (ACCENT, ACCENT_DARK),
        "color_accent_soft": (ACCENT_SOFT, ACCENT_SOFT_DARK),
        "block_background_fill": (CARD, CARD_DARK),
        "block_border_color": (LINE, LINE_DARK),
        "block_label_text_color": (SOFT, SOFT_DARK),
        "block_title_text_color": (INK, INK_DARK),
        "block_info_text_color": (SOFT, SOFT_DARK),
        "input_background_fill": (PAGE, PAGE_DARK),
        "input_border_color": (LINE, LINE_DARK),
        "input_border_color_focus": (ACCENT, ACCENT_DARK),
        "input_placeholder_color": (SOFT, SOFT_DARK),
        "button_primary_background_fill": (ACCENT, ACCENT_DARK),
        "button_primary_background_fill_hover": (ACCENT, ACCENT_DARK),
        "button_primary_border_color": (ACCENT, ACCENT_DARK),
        "button_primary_text_color": (ON_ACCENT, ON_ACCENT_DARK),
        "button_secondary_background_fill": (CARD, CARD_DARK),
        "button_secondary_background_fill_hover": (ACCENT_SOFT, ACCENT_SOFT_DARK),
        "button_secondary_border_color": (LINE, LINE_DARK),
        "button_secondary_text_color": (INK, INK_DARK),
        "slider_color": (ACCENT, ACCENT_DARK),
        "link_text_color": (ACCENT, ACCENT_DARK),
    }
    values = {}
    for name, (light, dark) in pairs.items():
        values[name], values[f"{name}_dark"] = light, dark
    return made.set(color_accent=ACCENT, input_border_width="1px", block_shadow="none", **values)
