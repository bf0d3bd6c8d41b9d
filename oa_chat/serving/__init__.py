"""The guard as a service: HTTP in OpenAI's shapes, for programs that are not this one.

`app` puts the endpoints together, `listener` runs them. Needs the extra ``serve``; nothing outside
this package and its command imports it. It stores nothing and asks nobody: where the app would ask
a person, a program gets a refusal.
"""
