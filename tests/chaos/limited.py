"""The portal's Celery application whose tasks are killed after two seconds, without a warning before."""

from portal.celery import application

application.conf.task_soft_time_limit = None
application.conf.task_time_limit = 2
