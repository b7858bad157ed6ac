"""Who may call and what is registered, remembered over restarts."""
