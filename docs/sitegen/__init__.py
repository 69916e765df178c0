"""What the documentation site is made of besides its pages: code that runs, tables, pictures."""
