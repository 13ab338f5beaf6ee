"""The page that raters see: a Gradio app that shows; votes go to the service's own routes."""
