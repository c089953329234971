# Somebody made a container of one of them meanwhile, and it does not run.
docker create --name later shop/app:2 /nothing
