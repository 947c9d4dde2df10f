"""The same calls by boto3. Prints seconds, as floor.c does.

peer.py first URL CA | peer.py query URL CA CALLS | peer.py batch|warm URL CA CALLS AT_ONCE
"""
import time

START = time.monotonic()

import concurrent.futures
import statistics
import sys

import boto3
import botocore.config

CALCULATION = '7e6f5d4c-aaaa-4bbb-8ccc-ddddeeeeffff'


def make_client(url, path, connections):
    return boto3.client(
        'athena', endpoint_url=url, region_name='us-east-1', verify=path,
        aws_access_key_id='AKIDEXAMPLE', aws_secret_access_key='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
        config=botocore.config.Config(max_pool_connections=connections))


def call(client):
    answer = client.get_calculation_execution(CalculationExecutionId=CALCULATION)
    assert answer['Status']['State'] == 'COMPLETED'


def measure_first(url, path):
    call(make_client(url, path, 1))
    print(time.monotonic() - START, time.process_time())


def measure_query(url, path, calls):
    client = make_client(url, path, 1)
    times = []
    for i in range(50):
        call(client)
    cpu = time.process_time()
    for i in range(calls):
        start = time.monotonic()
        call(client)
        times.append(time.monotonic() - start)
    cpu = time.process_time() - cpu
    print(statistics.median(times), sorted(times)[calls * 99 // 100], cpu / calls)


def measure_batch(url, path, calls, at_once, is_warm):
    client = make_client(url, path, at_once)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        if is_warm:
            list(pool.map(call, [client] * at_once))
        cpu, start = time.process_time(), time.monotonic()
        list(pool.map(call, [client] * calls))
        print(time.monotonic() - start, time.process_time() - cpu)


mode, url, path, *numbers = sys.argv[1:]
numbers = [int(number) for number in numbers]
if mode == 'first':
    measure_first(url, path)
elif mode == 'query':
    measure_query(url, path, *numbers)
else:
    measure_batch(url, path, *numbers, mode == 'warm')
