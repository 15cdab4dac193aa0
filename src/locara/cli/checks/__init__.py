"""What ``locara doctor`` looks at. `verdict`: an answer's shape; `judging`: the verdicts (pure); the rest: facts."""
