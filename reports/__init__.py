"""What people read: HTML, Markdown and CSV."""
