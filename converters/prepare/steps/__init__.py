"""The row steps of `oa-chat prepare`: each looks at one record alone, and keeps or drops it."""
