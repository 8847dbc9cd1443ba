"""What kubectl alone needs: schema, protobuf, tables, times as Go writes them."""
