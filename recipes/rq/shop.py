def bill() -> None:
    print("bills")  # in a worker
