"""Who may do what. Views, services and selectors ask here; nothing else looks at a person's role."""
