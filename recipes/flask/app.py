from beside import elector
from flask import Flask

app = Flask(__name__)


@app.get("/leader")
def leader() -> dict[str, str | bool | None]:
    return {"leader": elector.leader_identity, "here": elector.current_leader}
